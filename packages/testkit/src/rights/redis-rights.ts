import { connect } from 'node:net'
import { fillRights, type RightsParameters } from './rights-file.js'

const ADMINISTRATOR = 'administrator'
const ANSWER_MS = 10_000

/** The only user of a server whose users are limited that may do everything. */
export interface RedisAdministrator {
  readonly port: number
  readonly password: string
}

/** The lines of an ACL file: those of `text`, without comments, filled in. */
function redisAcl(text: string, parameters: RightsParameters): readonly string[] {
  return fillRights(text, parameters)
    .split('\n')
    .filter((line) => line.startsWith('user '))
}

/** The lines of an ACL file that leave only the administrator in. */
export function redisAdministratorAcl(password: string): readonly string[] {
  return ['user default off', `user ${ADMINISTRATOR} on >${password} ~* &* +@all`]
}

/** The address of a server with a user. */
export function redisUrl(port: number, user: string, password: string): string {
  return `redis://${user}:${password}@127.0.0.1:${port}`
}

/** The administrator's address. */
export function redisAdministratorUrl({ port, password }: RedisAdministrator): string {
  return redisUrl(port, ADMINISTRATOR, password)
}

/** Creates the users of a file, as `ACL LOAD` would. */
export async function grantRedis(
  administrator: RedisAdministrator,
  text: string,
  parameters: RightsParameters,
): Promise<void> {
  for (const line of redisAcl(text, parameters)) {
    const [, name = '', ...rules] = line.split(' ')
    await redisCommand(administrator, 'ACL', 'SETUSER', name, 'reset', ...rules)
  }
}

/** One command of the administrator on a separate connection; resolves with a reply that is a text, of any form, as text. */
export function redisCommand({ port, password }: RedisAdministrator, ...words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect({ port, host: '127.0.0.1' })
    socket.setEncoding('utf8')
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer to ${words[0]} within ${ANSWER_MS} ms`)))
    // The server closes the connection after its answer to QUIT.
    for (const command of [['AUTH', ADMINISTRATOR, password], ['CLIENT', 'SETNAME', 'harness'], words, ['QUIT']])
      socket.write(encode(command))
    socket.on('data', (chunk: string) => {
      received += chunk
    })
    socket.on('error', reject)
    socket.on('close', () => {
      const answer = /^\+OK\r\n\+OK\r\n(.*?)\+OK\r\n$/s.exec(received)?.[1]
      if (answer === undefined || answer.startsWith('-'))
        reject(new Error(`Redis answered ${JSON.stringify(received.slice(0, 500))} to ${words.slice(0, 3).join(' ')}`))
      else resolve(answer.replace(/^\$\d+\r\n/, '').trimEnd())
    })
  })
}

function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}
