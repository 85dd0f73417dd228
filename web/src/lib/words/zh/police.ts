// The words of the police in Chinese, whose keys are those of every language.

export const police = {
  nav_search: '车辆查询',
  nav_area: '区域查询',
  hitsOnMap: '地图上的紫色标记为这些车辆的最新位置，可点选。',
  grant: '授权案件',
  noGrant: '您目前没有有效的查询授权。',
  grantBounds: '有效期至 {until}；面积不超过 {km2} 平方公里，时间不超过 {hours} 小时',
  tooLong: '时间范围超过授权允许的 {hours} 小时，请缩短。',
  tooLarge: '区域为 {km2} 平方公里，授权最多允许 {max} 平方公里，请缩小。',
  audited: '每次查询都会被记录：查询人、案件、条件和结果数。',
  plateOrTracker: '车牌或终端号（至少 3 个字符）',
  found: '找到 {n} 辆',
  results: '查询结果',
  areaHits: '经过该区域的车辆：{n}',
  did: '条件',
  did_inside: '曾在区域内',
  did_entered: '进入区域',
  did_left: '离开区域',
  firstSeen: '首次',
  lastSeen: '末次',
  liveForCase: '显示实时位置（会被记录）',
} as const;
