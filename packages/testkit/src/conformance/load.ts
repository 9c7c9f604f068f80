/** The soak run does ten times the normal load. Set by `STREAMSWITCH_SOAK=1`. */
export const SOAKING: boolean = process.env.STREAMSWITCH_SOAK === '1'

/** A number of messages, senders or rounds: as given, ten times that in the soak run. */
export function load(normal: number): number {
  return SOAKING ? normal * 10 : normal
}

/** How long a test waits for any one condition, in milliseconds: what a loaded machine needs for thousands of messages. */
export const WAIT_MS: number = SOAKING ? 150_000 : 30_000

/** How long one test may take altogether, in milliseconds. */
export const TEST_TIMEOUT_MS: number = 2 * WAIT_MS

/** How often conditions without an event of their own are looked at, in milliseconds. */
export const POLL_MS = 10
