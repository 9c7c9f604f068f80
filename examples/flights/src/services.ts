import { startAlerts } from './alerts-service.js'
import { startAudit } from './audit-service.js'
import { startDelays } from './delays-service.js'
import { startDepartures } from './departures-service.js'
import type { StartService } from './service.js'

/** The receiving services, in the order in which they are started. The publisher comes last, when all others are ready. */
export const RECEIVERS = ['alerts', 'audit', 'delays'] as const

export type ServiceName = (typeof RECEIVERS)[number] | 'departures'

export const SERVICES: Readonly<Record<ServiceName, StartService>> = {
  alerts: startAlerts,
  audit: startAudit,
  delays: startDelays,
  departures: startDepartures,
}
