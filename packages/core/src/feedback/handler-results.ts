/** What a generator handler, or any handler that returns an async iterable, gives: values one after the other. */
export type ResultStream = AsyncIterable<unknown> | Iterator<unknown>

/** Whether a handler's result is many values, to be asked for, rather than one. Lists and texts are one value. */
export function isResultStream(result: unknown): result is ResultStream {
  if (typeof result !== 'object' || result === null) return false
  if (Symbol.asyncIterator in result) return true
  return Symbol.iterator in result && 'next' in result && typeof result.next === 'function'
}

/**
 * Asks for the values, each once the one before was taken. Stops, and lets the handler clean up, when `signal` aborts or `take` rejects.
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
