// The log-in that follows a new password: it may ask for a second step.
import { ApiError } from '../../lib/api';
import { app } from '../../lib/app.svelte';

/** Logs in; what the second step is asked with, or nothing if the password was enough. */
export async function logInAfter(login: string, password: string): Promise<ApiError | null> {
  try {
    await app.logIn(login, password);
    location.hash = '#/';
    return null;
  } catch (error) {
    if (error instanceof ApiError && error.code.startsWith('second_factor_')) return error;
    throw error;
  }
}
