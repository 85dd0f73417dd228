// Where the phone is, as long as somebody looks. It is compared with the tracker's place and kept nowhere.

/** A place that is less sure than this, as from a network alone, is compared with nothing, m. */
const SURE_M = 100;

export class Place {
  at = $state.raw<{ lat: number; lon: number } | null>(null);
  /** The browser does not say it: refused, or no receiver. */
  isRefused = $state(false);

  /** To be called as a component starts. */
  constructor() {
    $effect(() => {
      if (!('geolocation' in navigator)) return void (this.isRefused = true);
      const watch = navigator.geolocation.watchPosition(
        ({ coords }) => {
          if (coords.accuracy <= SURE_M) this.at = { lat: coords.latitude, lon: coords.longitude };
          this.isRefused = false;
        },
        () => (this.isRefused = this.at === null),
        { enableHighAccuracy: true, maximumAge: 10_000 },
      );
      return () => navigator.geolocation.clearWatch(watch);
    });
  }
}
