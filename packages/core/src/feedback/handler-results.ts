/** What a generator handler, or any handler that returns an async iterable, returns: a sequence of values. */
export type ResultStream = AsyncIterable<unknown> | Iterator<unknown>

/**
 * Returns whether a handler's result is a sequence of values rather than a single one. Arrays and strings are single
 * values.
 */
export function isResultStream(result: unknown): result is ResultStream {
  if (typeof result !== 'object' || result === null) return false
  if (Symbol.asyncIterator in result) return true
  return Symbol.iterator in result && 'next' in result && typeof result.next === 'function'
}

/**
 * Requests the values, each once the previous one was accepted. Stops, and lets the handler clean up, when `signal`
 * aborts or `take` rejects.
 */
export async function takeResults(
  results: ResultStream,
  signal: AbortSignal,
  take: (value: unknown) => Promise<void>,
): Promise<void> {
  const iterable = results as AsyncIterable<unknown> | Iterable<unknown>
  for await (const value of iterable) {
    signal.throwIfAborted()
    await take(value)
  }
}
