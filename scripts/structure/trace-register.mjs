import { register } from 'node:module'

register('./trace-hook.mjs', import.meta.url)
