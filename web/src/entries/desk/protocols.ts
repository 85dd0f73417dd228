// Languages of trackers.
export const PROTOCOLS = ['jt808', 'jt808_json', 'gt06', 'h02', 'teltonika', 'json', 'osmand', 'owntracks'] as const;
/** Languages that trackers speak on a socket of their own, without MQTT. */
export const SOCKET_PROTOCOLS: readonly string[] = ['gt06', 'h02', 'jt808', 'teltonika'];
