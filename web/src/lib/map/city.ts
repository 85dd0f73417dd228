// The map behind a small interface, so that pages do not know MapLibre. Loaded only when a map is shown.

import * as maplibre from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import { OLD_MS, type Language } from '../time';
import type { LiveVehicle, LonLat, TrackPoint } from '../types';
import { WORDS } from '../words';
import { MARKS } from './marks';
import { labels, style, YIYANG } from './style';

maplibre.setWorkerUrl(workerUrl);

type Source = 'live' | 'track' | 'head' | 'draft' | 'zones' | 'place';
const NOTHING: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] };
/** A map narrower than this, px, shows its sources only when asked; they would cover it. */
const NARROW_PX = 500;

const point = (at: LonLat, properties: Record<string, unknown> = {}): GeoJSON.Feature => ({
  type: 'Feature',
  properties,
  geometry: { type: 'Point', coordinates: at },
});
const line = (coordinates: LonLat[]): GeoJSON.Feature => ({
  type: 'Feature',
  properties: {},
  geometry: { type: 'LineString', coordinates },
});
const area = (coordinates: LonLat[]): GeoJSON.Feature => ({
  type: 'Feature',
  properties: {},
  geometry: { type: 'Polygon', coordinates: [coordinates] },
});
const all = (features: GeoJSON.Feature[]): GeoJSON.FeatureCollection => ({ type: 'FeatureCollection', features });

export class CityMap {
  /** Called with the place of a click on the map. */
  onClick: ((at: LonLat) => void) | null = null;
  /** Called with the id of a vehicle that was clicked. */
  onPick: ((vehicle: string) => void) | null = null;
  private readonly waiting = new Map<Source, GeoJSON.FeatureCollection>();
  private loaded = false;

  private constructor(
    private readonly map: maplibre.Map,
    private language: Language,
  ) {
    map.addControl(new maplibre.NavigationControl({ showCompass: false }), 'top-right');
    map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }));
    map.on('load', () => this.addLayers());
    map.on('click', (event) => {
      const picked = this.loaded && map.queryRenderedFeatures(event.point, { layers: ['live'] })[0];
      if (picked && this.onPick && !this.onClick) this.onPick(String(picked.properties['id']));
      else this.onClick?.([event.lngLat.lng, event.lngLat.lat]);
    });
  }

  /** Throws if the browser has no WebGL2. */
  static async open(container: HTMLElement, language: Language): Promise<CityMap> {
    const map = new maplibre.Map({
      container,
      style: await style(language),
      center: YIYANG,
      zoom: 10.5,
      attributionControl: { compact: true },
      fadeDuration: 0,
      dragRotate: false,
    });
    return new CityMap(map, language);
  }

  private addLayers() {
    const { map } = this;
    for (const id of ['zones', 'track', 'draft', 'live', 'head', 'place'] as const) {
      map.addSource(id, { type: 'geojson', data: this.waiting.get(id) ?? NOTHING });
    }
    // prettier-ignore
    const layers: maplibre.AddLayerObject[] = [
      { id: 'zones', type: 'line', source: 'zones', paint: { 'line-color': '#6b4fa0', 'line-width': 2, 'line-dasharray': [3, 2] } },
      { id: 'track', type: 'line', source: 'track', layout: { 'line-join': 'round', 'line-cap': 'round' }, paint: { 'line-color': MARKS.armed, 'line-width': 4, 'line-opacity': 0.8 } },
      { id: 'draft-fill', type: 'fill', source: 'draft', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': '#d97800', 'fill-opacity': 0.18 } },
      { id: 'draft-line', type: 'line', source: 'draft', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'line-color': '#b35f00', 'line-width': 2 } },
      { id: 'draft-corners', type: 'circle', source: 'draft', filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-radius': 5, 'circle-color': '#fff', 'circle-stroke-color': '#b35f00', 'circle-stroke-width': 2 } },
      // State by colour, size and edge: an incident is larger and red, an armed vehicle has a dark edge.
      { id: 'live', type: 'circle', source: 'live', paint: {
        'circle-radius': ['case', ['get', 'incident'], 10, 5.5],
        'circle-color': ['case', ['get', 'incident'], MARKS.incident, ['get', 'armed'], MARKS.armed, MARKS.disarmed],
        'circle-opacity': ['case', ['get', 'old'], MARKS.oldOpacity, 1],
        'circle-stroke-opacity': ['case', ['get', 'old'], MARKS.oldOpacity, 1],
        'circle-stroke-color': ['case', ['get', 'armed'], '#0c2536', '#fff'],
        'circle-stroke-width': ['case', ['get', 'incident'], 3, 1.5] } },
      { id: 'plates', type: 'symbol', source: 'live', filter: ['has', 'plate'], layout: { 'text-field': ['get', 'plate'], 'text-size': 13, 'text-font': ['Noto Sans CJK SC'], 'text-offset': [0, 1.2], 'text-anchor': 'top' }, paint: { 'text-color': '#10202b', 'text-halo-color': '#fff', 'text-halo-width': 1.6 } },
      { id: 'head', type: 'circle', source: 'head', paint: { 'circle-radius': 8, 'circle-color': '#fff', 'circle-stroke-color': MARKS.incident, 'circle-stroke-width': 4 } },
      { id: 'place', type: 'circle', source: 'place', paint: { 'circle-radius': 9, 'circle-opacity': 0, 'circle-color': '#000', 'circle-stroke-color': '#b35f00', 'circle-stroke-width': 3 } },
    ];
    for (const layer of layers) map.addLayer(layer);
    this.loaded = true;
    this.waiting.clear();
    this.map.getContainer().dataset['ready'] = 'true';
    if (this.map.getContainer().clientWidth < NARROW_PX) {
      const sources = this.find('.maplibregl-ctrl-attrib');
      sources?.classList.remove('maplibregl-compact-show');
      sources?.removeAttribute('open');
    }
    this.setLanguage(this.language);
  }

  private set(id: Source, data: GeoJSON.FeatureCollection) {
    if (this.loaded) this.map.getSource<maplibre.GeoJSONSource>(id)?.setData(data);
    else this.waiting.set(id, data);
  }

  /** Positions that are old, or that a broken stream brought, are pale. */
  setLive(vehicles: Iterable<LiveVehicle>, isLive: boolean) {
    const oldest = Date.now() - OLD_MS;
    const features = Array.from(vehicles, (v) => {
      const { id, armed, incident } = v;
      const old = !isLive || Date.parse(v.fixed_at) < oldest;
      return point([v.lon, v.lat], { id, armed, incident, old, ...(v.plate && { plate: v.plate }) });
    });
    this.set('live', all(features));
    this.map.getContainer().dataset['vehicles'] = String(features.length);
  }

  setTrack(points: TrackPoint[]) {
    const coordinates = points.map((p): LonLat => [p[1], p[2]]);
    this.set('track', coordinates.length > 1 ? all([line(coordinates)]) : NOTHING);
    this.map.getContainer().dataset['track'] = String(points.length);
    this.fit(coordinates);
  }

  setHead(at: LonLat | null) {
    this.set('head', at ? all([point(at)]) : NOTHING);
  }

  /** A shape that is being drawn. */
  setDraft(corners: LonLat[]) {
    const features: GeoJSON.Feature[] = corners.length <= 32 ? corners.map((c) => point(c)) : [];
    if (corners.length > 2) features.push(area([...corners, corners[0]!]));
    else if (corners.length === 2) features.push(line(corners));
    this.set('draft', all(features));
  }

  setZones(outlines: LonLat[][]) {
    this.set('zones', all(outlines.map(line)));
  }

  /** Brings the map into sight, where the page is one column. */
  look() {
    this.map.getContainer().scrollIntoView({ block: 'nearest' });
  }

  /** Marks a place and goes there. */
  focus(at: LonLat) {
    this.look();
    this.set('place', all([point(at)]));
    this.map.easeTo({ center: at, zoom: Math.max(this.map.getZoom(), 13), duration: 400 });
  }

  unmark() {
    this.set('place', NOTHING);
  }

  /** Shows all of these places. */
  fit(points: LonLat[]) {
    if (points.length === 0) return;
    const bounds = new maplibre.LngLatBounds();
    for (const at of points) bounds.extend(at);
    this.map.fitBounds(bounds, { padding: 40, maxZoom: 15, duration: 400 });
  }

  setLanguage(language: Language) {
    this.language = language;
    if (!this.loaded) return;
    this.map.setLayoutProperty('towns', 'text-field', labels(language));
    // MapLibre takes its words once, when it starts; the language may change later.
    const words = WORDS[language];
    const named = { canvas: words.map, '.maplibregl-ctrl-zoom-in': words.zoomIn, '.maplibregl-ctrl-zoom-out': words.zoomOut,
      '.maplibregl-ctrl-attrib-button': words.mapSources };
    for (const [where, name] of Object.entries(named)) {
      const control = this.find(where);
      control?.setAttribute('aria-label', name);
      if (control?.title) control.title = name;
    }
  }

  private find(selector: string): HTMLElement | null {
    return this.map.getContainer().querySelector(selector);
  }

  close() {
    this.map.remove();
  }
}
