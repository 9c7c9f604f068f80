import type { ConsumerDriver } from '../contract/consumer-driver.js'

/** Holds the current driver, for the components of a loop. It may still be opening. */
export class DriverSlot {
  /** `undefined` during an outage, and before the first connection. */
  driver: ConsumerDriver | undefined = undefined
}
