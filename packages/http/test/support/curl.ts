import { spawn } from 'node:child_process'

export interface CurlAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Runs curl with `body` as its standard input (use it with `--data-binary @-`). Rejects when curl itself fails. */
export function curl(args: readonly string[], body?: Buffer | string): Promise<CurlAnswer> {
  return new Promise((resolve, reject) => {
    const child = spawn('curl', [
      '--silent',
      '--show-error',
      '--max-time',
      '20',
      '--write-out',
      '\n%{http_code} %{header_json}',
      ...args,
    ])
    const output: Buffer[] = []
    const errors: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`curl ended with ${code}: ${Buffer.concat(errors).toString()}`))
      resolve(parse(Buffer.concat(output).toString()))
    })
    child.stdin.on('error', () => {})
    child.stdin.end(body)
  })
}

function parse(output: string): CurlAnswer {
  const match = /\n(\d{3}) (\{[\s\S]*\})\s*$/.exec(output)
  const headers = JSON.parse(match?.[2] ?? '{}') as Record<string, string[]>
  return {
    status: Number(match?.[1]),
    headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(', ')])),
    body: output.slice(0, match?.index),
  }
}
