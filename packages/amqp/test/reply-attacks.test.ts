import { replyAttacks } from '@streamswitch/testkit'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { managementApi } from './support/management-api.js'

replyAttacks({
  adapter: amqp,
  url: brokerUrl,
  foreign: managementApi,
  inboxes: ({ topic, group, replies }) => {
    const prefix = replies.slice(0, -'streamswitch-replies'.length)
    const queue = `${prefix}${topic}:${group}`
    return [
      `${queue}:0`,
      `${queue}:0:attempts`,
      `${prefix}${topic}:partitions`,
      `${prefix}${topic}:others`,
      `${prefix}streamswitch:topic-registry`,
      `${replies}:${queue}:0`,
      'amq.gen-made-up',
      'answers',
    ]
  },
})
