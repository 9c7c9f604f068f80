import { join } from 'node:path'
import { DedupeTransaction, type Message } from '@streamswitch/core'
import Database from 'libsql'

/** One effect of a handler, as the database has it. */
export interface Effect {
  readonly id: string
  readonly group: string
  readonly worker: string
}

/** Longest wait for other processes, in milliseconds. */
const BUSY_MS = 15_000

/** The database of the scenario: an SQLite file that all processes write to. */
export class Effects {
  readonly #database: Database.Database
  readonly #worker: string
  /** Marks have a unique key; effects have none, so that whatever is done twice shows. */
  readonly once: DedupeTransaction<Database.Database>
  #turn: Promise<unknown> = Promise.resolve()

  /** @param folder - holds the file. */
  constructor(folder: string, worker: string) {
    const database = new Database(join(folder, 'effects.db'))
    database.exec(`pragma busy_timeout = ${BUSY_MS}`)
    useLog(database)
    database.exec('pragma synchronous = normal')
    database.exec('create table if not exists effects (id text, "group" text, worker text)')
    database.exec('create table if not exists refused (id text, "group" text, worker text)')
    database.exec('create table if not exists handled (topic text, "group" text, id text, unique (topic, "group", id))')
    this.#database = database
    this.#worker = worker
    this.once = new DedupeTransaction((mark, work) =>
      this.#alone(async () => {
        database.exec('begin immediate')
        try {
          const { changes } = database
            .prepare('insert into handled values (?, ?, ?) on conflict do nothing')
            .run(mark.topic, mark.group, mark.id)
          if (changes === 1) await work(database)
          else database.prepare('insert into refused values (?, ?, ?)').run(mark.id, mark.group, worker)
          database.exec('commit')
        } catch (error) {
          database.exec('rollback')
          throw error
        }
      }),
    )
  }

  /** Within the transaction that is open, or by itself. */
  write(message: Message, group: string): void {
    this.#database.prepare('insert into effects values (?, ?, ?)').run(message.id, group, this.#worker)
  }

  /** All effects of one group, of one worker. */
  effects(group: string, worker?: string): readonly Effect[] {
    const where = worker === undefined ? '' : 'and worker = ?'
    const statement = this.#database.prepare(`select id, "group", worker from effects where "group" = ? ${where}`)
    return statement.all(...(worker === undefined ? [group] : [group, worker])) as Effect[]
  }

  /** How many messages of a group came that had been handled. */
  refused(group: string): number {
    const row = this.#database.prepare('select count(*) as count from refused where "group" = ?').get(group)
    return (row as { readonly count: number }).count
  }

  close(): void {
    this.#database.close()
  }

  /** One connection has one transaction at a time: handlings of this process wait for each other. */
  #alone(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }
}

/** Has SQLite keep a write-ahead log. While another process does the same it refuses at once, whatever `busy_timeout` says. */
function useLog(database: Database.Database): void {
  for (const deadline = performance.now() + BUSY_MS; ; ) {
    try {
      database.exec('pragma journal_mode = wal')
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

const opened = new Map<string, Effects>()

/** The database as a worker has it, once per process. */
export function effectsOf(spec: { readonly ledger: string; readonly name: string }): Effects {
  let effects = opened.get(spec.ledger)
  if (effects === undefined) {
    effects = new Effects(spec.ledger, spec.name)
    opened.set(spec.ledger, effects)
  }
  return effects
}
