// A decoder that never ends, under a watchdog: `node endless-decoder.mjs PATH`.
import { Watchdog } from '../../dist/fuzz/watchdog.js'

const [, , path = ''] = process.argv
const watchdog = new Watchdog(path, 100, 300)
watchdog.begin(Buffer.from('first'))
watchdog.end()
watchdog.begin(Buffer.from('endless'))
for (;;);
