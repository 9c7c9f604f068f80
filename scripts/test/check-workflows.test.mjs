import { expect, test } from 'vitest'
import { findWorkflowViolations } from '../check-workflows.mjs'
import { plantTree } from './planted-tree.mjs'

const STEPS = ['npm test', 'npm run release:pack']

/** @param {{ steps?: readonly string[], runsOn?: string, unproven?: string }} [changed] */
function violations({ steps = STEPS, runsOn = 'ubuntu-24.04', unproven = '- `npm run release:pack`: packs' } = {}) {
  const workflow = [
    'on: push',
    'jobs:',
    '  one:',
    `    runs-on: ${runsOn}`,
    '    steps:',
    ...steps.map((command) => `      - run: ${command}`),
  ]
  return findWorkflowViolations(
    plantTree({
      '.github/workflows/ci.yml': `${workflow.join('\n')}\n`,
      '.ci/run': 'npm test </dev/null 2>&1 | tee x\nnpm run check\n',
      'CONTRIBUTING.md': `Text\n\n<!-- unproven commands -->\n${unproven}\n\n- \`npm run other\`\n`,
    }),
  )
}

test('steps that call scripts, proven or named as unproven, are sound', async () => {
  expect(await violations()).toEqual([])
})

test.each([
  ['a runner that there is not', { runsOn: 'ubuntu-1.0' }, 'ci.yml:4:14: label "ubuntu-1.0" is unknown'],
  [
    "another's text in a command",
    { steps: [...STEPS, `npm run \${{ github.event.head_commit.message }}`] },
    '"github.event.head_commit.message" is potentially untrusted',
  ],
  ['a command of its own', { steps: [...STEPS, 'curl example.org'] }, "runs 'curl example.org': put it into a script"],
  ['a script that is not proven', { steps: [...STEPS, 'npm run fuzz'] }, "runs 'npm run fuzz', which .ci/run doesn't"],
  [
    'a name of nothing',
    { unproven: '- `npm run release:pack`: packs\n- `npm run fuzz`' },
    "'npm run fuzz' is not unproven: take it off",
  ],
  [
    'a name of what is proven',
    { unproven: '- `npm run release:pack`: packs\n- `npm test`' },
    "'npm test' is not unproven: take it off",
  ],
])('%s is a violation', async (_what, changed, violation) => {
  expect(await violations(changed)).toContainEqual(expect.stringContaining(violation))
})
