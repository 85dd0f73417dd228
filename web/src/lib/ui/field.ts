// Which field of a form a refusal of the server is about.
import { ApiError } from '../api';

/** Whether a refusal names this field; what names none belongs below the form. */
export const problemOf = (failure: unknown, field: string): boolean => failure instanceof ApiError && failure.values['field'] === field;

/** Whether a refusal names one of these fields, so that the form need not say it again. */
export const isTold = (failure: unknown, fields: readonly string[]): boolean => fields.some((field) => problemOf(failure, field));
