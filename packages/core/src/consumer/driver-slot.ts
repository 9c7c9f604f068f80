import type { ConsumerDriver } from '../contract/consumer-driver.js'

/** Where a loop's parts find the driver that deliveries come from and go back to. It may still be opening. */
export class DriverSlot {
  /** `undefined` during an outage, and before the first connection. */
  driver: ConsumerDriver | undefined = undefined
}
