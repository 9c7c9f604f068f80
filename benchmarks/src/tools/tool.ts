import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { brokerTool } from '@streamswitch/testkit/brokers'
import type { Measured } from '../measuring/case.js'

const execute = promisify(execFile)

/** A tool may wait for ever for a broker that does not answer as it expects. In milliseconds. */
const TOOL_MS = 50_000

/** Runs a tool of the brokers' and resolves with what it has printed. Rejects where it can't be had, with the reason. */
export async function runTool(name: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(await brokerTool(name), args, { timeout: TOOL_MS, maxBuffer: 64 * 1024 * 1024 })
  return stdout
}

/** What a tool's own figure, in messages per second, says of `messages` messages. */
export function atRate(messages: number, output: string, pattern: RegExp): Measured {
  const rate = Number([...output.matchAll(new RegExp(pattern, 'g'))].at(-1)?.[1])
  if (!(rate > 0)) throw new Error(`no rate in what the tool printed: ${output.trim().slice(-150)}`)
  return { seconds: messages / rate, cpuSeconds: undefined }
}
