import { StreamError } from '@streamswitch/core/driver'
import type { Dispatcher } from 'undici'
import { type Decoder, decoderOf, type Encoding } from '../wire/content-encoding.js'

/** What becomes of a decoded body. */
export interface DecodedBody {
  data(chunk: Buffer): void
  end(): void
  error(error: StreamError): void
}

/**
 * Takes the content codings off a response while it comes in. No more of it is in memory than a few chunks: the connection is read no faster than its bytes are
 * decoded and used. `end` or `error` comes once.
 */
export class ResponseDecoding {
  readonly #encodings: readonly Encoding[]
  readonly #controller: Dispatcher.DispatchController
  readonly #body: DecodedBody
  #first: Decoder | undefined
  #over = false

  constructor(encodings: readonly Encoding[], controller: Dispatcher.DispatchController, body: DecodedBody) {
    this.#encodings = encodings
    this.#controller = controller
    this.#body = body
  }

  write(chunk: Buffer): void {
    if (this.#over) return
    this.#first ??= this.#chain(this.#encodings, chunk)
    if (this.#first.write(chunk)) return
    this.#controller.pause()
    this.#first.once('drain', () => this.#controller.resume())
  }

  end(): void {
    // Without a body there is nothing to decode.
    if (this.#first === undefined) this.#body.end()
    else this.#first.end()
  }

  /** Nothing more is wanted. */
  stop(): void {
    this.#over = true
    this.#first?.destroy()
  }

  /** The decoder of the last coding that was applied, which feeds those of the others. */
  #chain(encodings: readonly Encoding[], firstBytes: Buffer): Decoder {
    const encoding = encodings.at(-1) as Encoding
    const decoder = decoderOf(encoding, firstBytes)
    const rest = encodings.slice(0, -1)
    let next: Decoder | undefined
    decoder.on('data', (chunk: Buffer) => {
      if (this.#over) return void decoder.destroy()
      if (rest.length === 0) return this.#body.data(chunk)
      next ??= this.#chain(rest, chunk)
      if (next.write(chunk)) return
      decoder.pause()
      next.once('drain', () => decoder.resume())
    })
    decoder.on('end', () => {
      if (this.#over) return
      if (next !== undefined) return void next.end()
      this.#over = true
      this.#body.end()
    })
    decoder.on('error', (error) => {
      if (this.#over) return
      this.#over = true
      this.#body.error(
        new StreamError(`the response is no whole ${encoding}: ${error.message}`, {
          code: 'INVALID_ARGUMENT',
          retryable: false,
          transport: 'http',
          operation: 'request',
          cause: error,
        }),
      )
    })
    return decoder
  }
}
