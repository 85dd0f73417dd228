import { mount } from 'svelte';
import App from './App.svelte';
import './lib/ui/tokens.css';
import './app.css';
import { i18n } from './lib/i18n.svelte';
import './lib/theme.svelte';

/** How soon words that did not come are asked for again, ms. */
const AGAIN_MS = 5000;
/** Nobody waits for the words of refusals; they are there when something is refused. */
function refusals() {
  i18n.use('refusals').catch(() => setTimeout(refusals, AGAIN_MS));
}

const target = document.getElementById('app');
await i18n.use('common');
if (target) {
  target.textContent = '';
  mount(App, { target });
  refusals();
}
