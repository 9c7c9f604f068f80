import { cpus } from 'node:os'
import { measureCoreCost } from './core-cost.js'

const [cpu] = cpus()
console.log(`Node.js ${process.version}, ${cpus().length} cores, ${cpu?.model ?? 'unknown processor'}\n`)
console.log(await measureCoreCost())
