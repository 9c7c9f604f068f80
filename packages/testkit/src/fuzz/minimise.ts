/** Attempts at a smaller input. */
const MAX_ATTEMPTS = 1_500

/**
 * A smaller input that still fails: parts are taken out, half of it first, then ever smaller ones; then bytes are set to 0. Ends after 1,500 attempts,
 * or at `deadline` (by `performance.now()`).
 */
export async function minimise(
  input: Buffer,
  fails: (candidate: Buffer) => Promise<boolean>,
  deadline: number,
): Promise<Buffer> {
  let smallest = input
  let attempts = 0
  const accepts = async (candidate: Buffer): Promise<boolean> => {
    attempts += 1
    if (!(await fails(candidate))) return false
    smallest = candidate
    return true
  }
  const isOver = (): boolean => attempts >= MAX_ATTEMPTS || performance.now() > deadline
  for (let size = Math.ceil(input.length / 2); size >= 1 && !isOver(); size = Math.floor(size / 2)) {
    for (let at = 0; at < smallest.length && !isOver(); ) {
      const without = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)])
      if (!(await accepts(without))) at += size
    }
  }
  for (let at = 0; at < smallest.length && !isOver(); at += 1) {
    if (smallest[at] === 0) continue
    const zeroed = Buffer.from(smallest)
    zeroed[at] = 0
    await accepts(zeroed)
  }
  return smallest
}
