import type { ConsumerLoop, Transport } from '@streamswitch/core'
import type { Watch } from './collect.js'
import type { Handling, Journal } from './handling.js'

/** One running loop of a test. */
export class Member {
  readonly name: string
  readonly loop: ConsumerLoop
  readonly transport: Transport
  readonly group: string
  /** Settles with `run`: `undefined` after a clean stop, else the error that ended it. Never rejects. */
  readonly ended: Promise<unknown>
  readonly #journal: Journal
  #failure: { readonly error: unknown } | undefined

  constructor(name: string, loop: ConsumerLoop, journal: Journal, watch: Watch) {
    this.name = name
    this.loop = loop
    this.transport = loop.transport
    this.group = loop.group
    this.#journal = journal
    this.ended = loop.run().then(
      () => undefined,
      (error: unknown) => {
        this.#failure = { error }
        watch.changed()
        return error
      },
    )
    for (const event of ['assigned', 'revoked', 'ready', 'deadLetter', 'error'] as const)
      loop.on(event, () => watch.changed())
  }

  /** What ended the loop, if anything did. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  /** Handler starts of this member. */
  get handlings(): readonly Handling[] {
    return this.#journal.all.filter((one) => one.member === this.name)
  }

  /** Ids of the messages it handled successfully, in order of the handler starts. */
  get succeeded(): readonly string[] {
    return this.handlings.filter((one) => one.outcome === 'succeeded').map((one) => one.id)
  }

  /** Stops the loop alone, as a process that leaves would. */
  async leave(timeoutMs?: number): Promise<void> {
    await this.loop.close(timeoutMs === undefined ? {} : { timeoutMs })
  }
}
