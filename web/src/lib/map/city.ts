// The map behind a small interface, so that pages do not know MapLibre. Loaded only when a map is shown.

import * as maplibre from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { LonLat } from '../geometry';
import { OLD_MS, type Language } from '../time';
import type { LiveVehicle, TrackPoint, Vehicle } from '../types';
import type { Key } from '../words';
import { MARKS } from './marks';
import { labels, style, YIYANG } from './style';

maplibre.setWorkerUrl(workerUrl);

type Source = 'live' | 'track' | 'head' | 'draft' | 'zones' | 'place' | 'hits';
/** Marks that can be chosen. */
const CHOSEN = ['hits', 'live'];
/** Those that a search has found. */
const FOUND = ['hits'];
/** A finger or a pointer this near to a mark means it, px: marks are smaller than fingers. */
const NEAR_PX = 14;
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

export interface Hit {
  id: string;
  plate: string;
  at: LonLat;
}

export class CityMap {
  /** Called with the place of a click on the map. */
  onClick: ((at: LonLat) => void) | null = null;
  /** Called with the id of a vehicle that was clicked, or null beside all of them. */
  onPick: ((vehicle: string | null) => void) | null = null;
  /** Called with west, south, east and north of what is shown, at first and after each move. */
  onView: ((view: [number, number, number, number]) => void) | null = null;
  private readonly waiting = new Map<Source, GeoJSON.FeatureCollection>();
  private loaded = false;
  /** Somebody or something has already moved it. */
  private isMoved = false;
  /** What the map began with, until something else moves it. */
  private begun: LonLat[] | null = null;

  private constructor(
    private readonly map: maplibre.Map,
    private language: Language,
    private readonly say: (key: Key) => string,
  ) {
    map.addControl(new maplibre.NavigationControl({ showCompass: false }), 'top-right');
    map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }));
    map.on('load', () => this.addLayers());
    map.on('click', (event) => {
      const chosen = this.near(event.point);
      if (this.onClick && chosen === null) this.onClick([event.lngLat.lng, event.lngLat.lat]);
      else this.onPick?.(chosen);
    });
    map.on('mousemove', (event) => {
      map.getCanvas().style.cursor = this.near(event.point) !== null ? 'pointer' : this.onClick ? 'crosshair' : '';
    });
    map.on('idle', () => this.note());
    map.on('moveend', () => this.tellView());
    map.on('movestart', (event) => {
      if (event.originalEvent === undefined) return;
      this.isMoved = true;
      this.begun = null;
    });
    // An alert above the map makes it smaller: what it began with stays in sight.
    map.on('resize', () => this.begun && this.start(this.begun));
  }

  /** Throws if the browser has no WebGL2. */
  static async open(container: HTMLElement, language: Language, say: (key: Key) => string): Promise<CityMap> {
    const map = new maplibre.Map({
      container,
      style: await style(language),
      center: YIYANG,
      zoom: 10.5,
      attributionControl: { compact: true },
      fadeDuration: 0,
      dragRotate: false,
    });
    return new CityMap(map, language, say);
  }

  /** Says what is shown. */
  tellView() {
    const bounds = this.map.getBounds();
    this.onView?.([bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()]);
  }

  /** The vehicle nearest to a point of the screen, if there is one; while a shape is drawn, of what a search has found only. */
  private near(at: maplibre.Point): string | null {
    if (!this.loaded) return null;
    const box: [[number, number], [number, number]] = [[at.x - NEAR_PX, at.y - NEAR_PX], [at.x + NEAR_PX, at.y + NEAR_PX]];
    let [best, nearest]: [string | null, number] = [null, Infinity];
    for (const found of this.map.queryRenderedFeatures(box, { layers: this.onClick ? FOUND : CHOSEN })) {
      if (found.geometry.type !== 'Point') continue;
      const distance = this.map.project(found.geometry.coordinates as LonLat).dist(at);
      if (distance < nearest) [best, nearest] = [String(found.properties['id']), distance];
    }
    return best;
  }

  /** Notes for programs what a person sees: how far the view reaches, km, and where a mark stands in it. */
  private note() {
    const { dataset } = this.map.getContainer();
    const bounds = this.map.getBounds();
    dataset['spanKm'] = String(Math.round(bounds.getNorthWest().distanceTo(bounds.getSouthEast()) / 1000));
    const canvas = this.map.getCanvas();
    const { left, top } = canvas.getBoundingClientRect();
    const marks = this.loaded ? this.map.queryRenderedFeatures({ layers: CHOSEN }) : [];
    const places = marks.map((m) => (m.geometry.type === 'Point' ? this.map.project(m.geometry.coordinates as LonLat) : null));
    // Not below a control or the legend.
    const clear = places.find((p) => p && document.elementFromPoint(left + p.x, top + p.y) === canvas);
    if (clear) dataset['mark'] = JSON.stringify([clear.x, clear.y]);
    else delete dataset['mark'];
  }

  private addLayers() {
    const { map } = this;
    for (const id of ['zones', 'track', 'draft', 'live', 'hits', 'head', 'place'] as const) {
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
        'circle-color': ['case', ['get', 'incident'], MARKS.incident, ['get', 'unguarded'], MARKS.unguarded, ['get', 'armed'], MARKS.armed, ['get', 'plain'], MARKS.plain, MARKS.disarmed],
        'circle-opacity': ['case', ['get', 'old'], MARKS.oldOpacity, 1],
        'circle-stroke-opacity': ['case', ['get', 'old'], MARKS.oldOpacity, 1],
        'circle-stroke-color': ['case', ['get', 'armed'], '#0c2536', '#fff'],
        'circle-stroke-width': ['case', ['get', 'incident'], 3, 1.5] } },
      { id: 'plates', type: 'symbol', source: 'live', filter: ['has', 'plate'], layout: { 'text-field': ['get', 'plate'], 'text-size': 13, 'text-font': ['Noto Sans CJK SC'], 'text-variable-anchor': ['top', 'bottom', 'left', 'right'], 'text-radial-offset': 1 }, paint: { 'text-color': '#10202b', 'text-halo-color': '#fff', 'text-halo-width': 1.6 } },
      { id: 'hits', type: 'circle', source: 'hits', paint: { 'circle-radius': 7, 'circle-color': MARKS.hit, 'circle-stroke-color': '#fff', 'circle-stroke-width': 2 } },
      { id: 'hit-plates', type: 'symbol', source: 'hits', layout: { 'text-field': ['get', 'plate'], 'text-size': 13, 'text-font': ['Noto Sans CJK SC'], 'text-variable-anchor': ['top', 'bottom', 'left', 'right'], 'text-radial-offset': 0.9 }, paint: { 'text-color': '#3d1a5c', 'text-halo-color': '#fff', 'text-halo-width': 1.6 } },
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
  setLive(vehicles: Iterable<LiveVehicle>, isLive: boolean, mine: ReadonlyMap<string, Vehicle>) {
    const oldest = Date.now() - OLD_MS;
    const features = Array.from(vehicles, (v) => {
      // Operators are not told what is guarded.
      const { id, armed = false, incident = false } = v;
      const plain = v.armed === undefined;
      const old = !isLive || Date.parse(v.fixed_at) < oldest;
      const unguarded = armed && ['silent', 'never'].includes(mine.get(id)?.contact ?? '');
      return point([v.lon, v.lat], { id, armed, incident, old, unguarded, plain, ...(v.plate && { plate: v.plate }) });
    });
    this.set('live', all(features));
    this.map.getContainer().dataset['vehicles'] = String(features.length);
  }

  /** What a search has found. */
  setHits(hits: readonly Hit[]) {
    this.set('hits', all(hits.map((h) => point(h.at, { id: h.id, plate: h.plate }))));
    this.map.getContainer().dataset['found'] = String(hits.length);
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
    [this.isMoved, this.begun] = [true, null];
    this.set('place', all([point(at)]));
    this.map.easeTo({ center: at, zoom: Math.max(this.map.getZoom(), 13), duration: 400 });
  }

  unmark() {
    this.set('place', NOTHING);
  }

  /** Where the map begins: as long as nothing else has moved it. */
  begin(points: LonLat[]) {
    if (!this.isMoved) this.start(points);
  }

  private start(points: LonLat[]) {
    this.fit(points);
    this.begun = points;
  }

  /** Shows all of these places. */
  fit(points: LonLat[]) {
    if (points.length === 0) return;
    [this.isMoved, this.begun] = [true, null];
    const bounds = new maplibre.LngLatBounds();
    for (const at of points) bounds.extend(at);
    this.map.fitBounds(bounds, { padding: 56, maxZoom: 15, duration: 400 });
  }

  setLanguage(language: Language) {
    this.language = language;
    if (!this.loaded) return;
    this.map.setLayoutProperty('towns', 'text-field', labels(language));
    // MapLibre takes its words once, when it starts; the language may change later.
    const named = { canvas: 'map', '.maplibregl-ctrl-zoom-in': 'zoomIn', '.maplibregl-ctrl-zoom-out': 'zoomOut',
      '.maplibregl-ctrl-attrib-button': 'mapSources' } as const;
    for (const [where, key] of Object.entries(named)) {
      const name = this.say(key);
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
