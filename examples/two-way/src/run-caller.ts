// One shop in a process of its own. The environment says on which transports and under which prefix.
import { openTransport } from '@streamswitch/core'
import { CALLER_NAME } from './callers.js'
import { goShopping } from './shop-service.js'
import { shopOptions } from './two-way.js'
import { problemsOf } from './verdict.js'

const options = shopOptions(process.env[CALLER_NAME] ?? 'shop')
const transport = await openTransport()
try {
  const problems = problemsOf(await goShopping(transport, options), options)
  process.send?.(problems)
} catch (error) {
  process.send?.([`${options.name}: ${error instanceof Error ? error.message : String(error)}`])
} finally {
  await transport.close()
  process.disconnect?.()
}
