import { parseArgs } from 'node:util'
import { isStreamError } from '@streamswitch/core'
import { showParts } from './progress.js'
import { runTwoWay } from './two-way.js'

const USAGE = `usage: two-way [--callers N]

Asks services for a reply, for ten of them, and for one that fails, and checks what comes back. STREAMSWITCH_URL says where
requests travel (default memory://), STREAMSWITCH_FEEDBACK_URL where replies do (default: the same way).
--callers N: N shops ask, each in a process of its own.
`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { callers: { type: 'string', default: '0' }, help: { type: 'boolean', default: false } },
  })
  const callers = Number(values.callers)
  if (values.help || !Number.isInteger(callers) || callers < 0) {
    process.stdout.write(USAGE)
    if (!values.help) process.exitCode = 2
    return
  }
  const problems = await runTwoWay({
    url: process.env.STREAMSWITCH_URL || 'memory://',
    feedbackUrl: process.env.STREAMSWITCH_FEEDBACK_URL || undefined,
    callers,
    onStart: (requests, replies) => process.stdout.write(`requests on ${requests}, replies on ${replies}\n`),
    onPart: showParts(),
  })
  for (const problem of problems) process.stderr.write(`wrong: ${problem}\n`)
  if (problems.length === 0) process.stdout.write('every reply as expected\n')
  else process.exitCode = 1
}

try {
  await main()
} catch (error) {
  process.stderr.write(
    `${isStreamError(error) ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  )
  process.exitCode = 1
}
