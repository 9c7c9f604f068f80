/** Checks the `middleware` options: a list of functions. */
export function checkMiddleware<One>(raw: unknown): { readonly value: readonly One[] } | string {
  if (Array.isArray(raw) && raw.every((one) => typeof one === 'function')) return { value: raw as One[] }
  return 'must be a list of functions (…, next) => next()'
}
