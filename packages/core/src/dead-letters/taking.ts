import type { Delivery } from '../consumer/delivery.js'
import type { DeadLetterDetails } from './dead-letter.js'
import type { DeadLetterReader } from './dead-letter-reader.js'
import type { Removal } from './removal.js'

/** Number of dead letters that are used, then removed, at a time. */
const CHUNK = 200

interface Chosen {
  readonly delivery: Delivery
  readonly letter: DeadLetterDetails
}

/**
 * One pass over a dead-letter topic that uses the selected dead letters (sends or discards them) and then removes them.
 */
export class Taking {
  readonly #removal: Removal
  readonly #use: (letter: DeadLetterDetails, delivery: Delivery) => Promise<void>
  readonly #choose: (delivery: Delivery) => DeadLetterDetails | 'stays' | 'gone'
  #chosen: Chosen[] = []
  #count = 0

  constructor(
    removal: Removal,
    use: (letter: DeadLetterDetails, delivery: Delivery) => Promise<void>,
    choose: (delivery: Delivery) => DeadLetterDetails | 'stays' | 'gone',
  ) {
    this.#removal = removal
    this.#use = use
    this.#choose = choose
  }

  /**
   * Resolves with the number of removed dead letters. Rejects with the first failure of a use; those used by then are
   * removed.
   */
  async run(reader: DeadLetterReader): Promise<number> {
    let seen = 0
    for await (const delivery of reader.deliveries()) {
      this.#look(delivery)
      if (this.#chosen.length >= CHUNK) await this.#finish()
      seen += 1
      // Later ones failed meanwhile.
      if (seen >= reader.total) break
    }
    await this.#finish()
    return this.#count
  }

  #look(delivery: Delivery): void {
    const letter = this.#choose(delivery)
    if (letter === 'stays') return this.#removal.keep(delivery)
    this.#removal.pass(delivery)
    if (letter !== 'gone') this.#chosen.push({ delivery, letter })
  }

  async #finish(): Promise<void> {
    const chosen = this.#chosen
    this.#chosen = []
    const outcomes = await Promise.allSettled(chosen.map(({ letter, delivery }) => this.#use(letter, delivery)))
    const done = chosen.filter((_, index) => outcomes[index]?.status === 'fulfilled').map(({ delivery }) => delivery)
    await this.#removal.remove(done, done.length === chosen.length)
    this.#count += done.length
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}
