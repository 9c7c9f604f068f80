/** Heartbeats and similar traffic may bring this many bytes within a deadline without the answer being in transit. */
const FEW_BYTES = 1024

/** Upper bound for the wait, as a multiple of `timeoutMs`: the answer may never arrive. */
const LONGEST = 6

/**
 * A deadline for an answer that shares its connection with deliveries: on a slow link the answer waits behind them.
 * Calls `expired` after `timeoutMs` in which almost no bytes arrived, and after six times `timeoutMs` in any case.
 * Returns a function that cancels the deadline.
 *
 * @param arrivedBytes - number of bytes received on the connection so far, of any kind.
 */
export function answerDeadline(arrivedBytes: () => number, timeoutMs: number, expired: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (turn: number, before: number): void => {
    timer = setTimeout(() => {
      const arrived = arrivedBytes()
      if (turn < LONGEST && arrived - before > FEW_BYTES) wait(turn + 1, arrived)
      else expired()
    }, timeoutMs)
  }
  wait(1, arrivedBytes())
  return () => clearTimeout(timer)
}
