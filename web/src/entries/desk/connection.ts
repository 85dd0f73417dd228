// How a tracker is connected to the door, in the reader's words.
import { i18n } from '../../lib/i18n.svelte';
import type { TrackerConnection } from '../../lib/types';

/** Why a connection ended, or what became of a datagram. */
export const endWord = (reason: string) => i18n.code('end', reason);

/** What it speaks, and by what: a record names the network, too. */
export function wayWord(connection: TrackerConnection & { network?: string }): string {
  const language = connection.mqtt_version ? `MQTT ${connection.mqtt_version}` : connection.language;
  const way = connection.is_tls ? 'TLS' : connection.transport.toUpperCase();
  return [language, way, connection.network].filter(Boolean).join(' · ');
}
