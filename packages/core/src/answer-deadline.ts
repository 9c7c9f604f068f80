/** Heartbeats and the like may bring so much within a deadline, and say nothing of the answer. */
const FEW_BYTES = 1024

/** How many times as long an answer may take at most: it may never come. */
const LONGEST = 6

/**
 * A deadline for an answer that shares its connection with deliveries: on a slow link it waits behind them. Calls `expired` once
 * `timeoutMs` are over in which next to nothing has arrived, and after six times as long whatever has. Returns what ends the wait.
 *
 * @param arrivedBytes - how many bytes have come so far on the connection, whatever they are for.
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
