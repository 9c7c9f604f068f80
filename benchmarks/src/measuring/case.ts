/** What one round of a case has taken. */
export interface Measured {
  readonly seconds: number
  /** Processor time of the process that ran the case, in seconds: what the client costs. `undefined` for programs that run beside it. */
  readonly cpuSeconds: number | undefined
}

/** One thing to measure: moves `messages` messages and tells what that took, preparation excluded. */
export interface Case {
  readonly name: string
  readonly messages: number
  run(messages: number): Promise<Measured>
}

/** Cases that are compared with each other. */
export interface Comparison {
  readonly title: string
  /** What is alike on all sides, and what isn't. */
  readonly about: string
  /** The case that the ratio column refers to: the driver's best loop by hand. */
  readonly reference: string
  readonly cases: readonly Case[]
}

/** What every case sends: 1 KiB. */
export const PAYLOAD = Buffer.alloc(1024, 0x61)

/** Sends in flight. */
export const IN_FLIGHT = 1_000

let made = 0

/** A message of loops by hand, with what Streamswitch's carry as well. */
export function newMessage(): { readonly id: string; readonly timestamp: number; readonly payload: Buffer } {
  made += 1
  return { id: `message-${made}`, timestamp: Date.now(), payload: PAYLOAD }
}

/** The handler of loops by hand, called for each message as Streamswitch's is: it looks at the payload, no more. */
export class CountingHandler {
  messages = 0
  bytes = 0

  handle(payload: Buffer): void {
    this.messages += 1
    this.bytes += payload.length
  }
}

/** Begins to measure; the returned function tells what has passed since. */
export function stopwatch(): () => Measured {
  const start = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - start) / 1_000, cpuSeconds: (user + system) / 1_000_000 }
  }
}

/** What `body` takes. */
export async function timed(body: () => Promise<unknown>): Promise<Measured> {
  const stop = stopwatch()
  await body()
  return stop()
}

/** Runs `task` for the numbers from 0 to `count - 1`, at most `concurrency` at once. */
export async function concurrently(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      await task(index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker))
}

/** A name for a topic, stream or queue that nothing else uses. */
export function freshName(): string {
  return `bench-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`
}
