/** A reply of the server, before it is written to a connection. Text is bytes, one character each. */
export type Reply = null | number | string | Status | Failure | readonly Reply[]

/** A reply such as `OK`, which Lua sees as a table. */
export class Status {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** An error reply: its code comes first. */
export class Failure {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export const OK = new Status('OK')
