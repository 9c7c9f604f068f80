import { join } from 'node:path'
import { fuzzing } from '@streamswitch/testkit/fuzz'
import { TARGETS } from './targets.js'

fuzzing({ targets: TARGETS, corpus: join(import.meta.dirname, 'corpus') })
