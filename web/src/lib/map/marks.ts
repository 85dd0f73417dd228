// The colours of vehicles on the map, for the map and its legend.

export const MARKS = { incident: '#c4161c', armed: '#1f5f8b', disarmed: '#6f8a3a', plain: '#4a5a68', unguarded: '#d08700', hit: '#7a3fb0', oldOpacity: 0.4 } as const;
