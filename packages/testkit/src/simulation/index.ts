/**
 * Deterministic simulation of membership protocols: the real code of an adapter over a scripted broker and a virtual clock, under random
 * joins, leaves, kills, freezes, slow calls, cuts and restarts. A protocol plugs in with one file, see {@link SimulatedProtocol}.
 */
export type { GroundTruth, Ledger } from './ledger.js'
export type { OffsetOf } from './member.js'
export type { Mutant } from './mutant.js'
export { play } from './play.js'
export type { ProtocolRun, SimulatedProtocol } from './protocol.js'
export { type SimulationResult, simulate } from './simulate.js'
export { type MutantSettings, mutantsAreFound, simulations } from './suites.js'
export type { Actor } from './virtual-clock.js'
export { Pipe, SimulatedProcess, World } from './world.js'
