// The process of one case: runs it as often as its parent asks, so that no case meets the heap and the compiled code of another.
import { SUITES, type SuiteName } from '../suites.js'
import { messageOf, type Reply, type Request } from './case-process.js'

const [suite, comparison, index] = process.argv.slice(2)
const chosen = (await SUITES[suite as SuiteName]())[Number(comparison)]?.cases[Number(index)]
const send = (reply: Reply): boolean => process.send?.(reply) ?? false

process.on('message', ({ messages }: Request) => {
  if (chosen === undefined) return send({ problem: `there is no case ${process.argv.slice(2).join(' ')}` })
  return chosen.run(messages).then(send, (error: unknown) => send({ problem: messageOf(error) }))
})
process.on('disconnect', () => process.exit())
send({ ready: true })
