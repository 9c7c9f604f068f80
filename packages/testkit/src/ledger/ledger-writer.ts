import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type LedgerEntry, ledgerTime } from './ledger-lines.js'

/** The name of a process's file within the folder of a ledger. */
export function ledgerFile(folder: string, processName: string): string {
  return join(folder, `${processName}.jsonl`)
}

/**
 * Appends to the file of one process, one write per line: what it has returned from survives the SIGKILL of the process, and at
 * most the last line is torn. A later life of the same process goes on in the same file.
 */
export class LedgerWriter {
  readonly #file: number
  readonly #process: string
  readonly #life: number

  /** @param life - whose doing is written down; default: this process. */
  constructor(folder: string, processName: string, life: number = process.pid) {
    this.#file = openSync(ledgerFile(folder, processName), 'a+')
    this.#process = processName
    this.#life = life
    this.#endTornLine()
  }

  write(entry: LedgerEntry): void {
    this.#append({ ...entry, process: this.#process, life: this.#life, at: ledgerTime() })
  }

  /** Writes what somebody else can't write any more: it was killed, or frozen. */
  writeOf(processName: string, life: number, entry: LedgerEntry): void {
    this.#append({ ...entry, process: processName, life, at: ledgerTime() })
  }

  close(): void {
    closeSync(this.#file)
  }

  #append(line: unknown): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`)
  }

  /** What a killed predecessor left half written must not swallow the next line. */
  #endTornLine(): void {
    const { size } = fstatSync(this.#file)
    if (size === 0) return
    const last = Buffer.alloc(1)
    readSync(this.#file, last, 0, 1, size - 1)
    if (last[0] !== 0x0a) writeSync(this.#file, '\n')
  }
}
