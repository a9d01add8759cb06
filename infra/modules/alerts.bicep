// What wakes somebody, and the page to look at then. What the platform can measure is measured there (Front Door's log
// and metrics, the host's record of executions): an alert should not depend on the code that it watches. Only the age
// of the profiles is known to nobody but the app, and taken from its log.

param location string

@description('The names of the apps.')
param appNames string[]

param workspaceId string
param frontDoorProfileId string
param emails string[]
param tags object

@description('A request is good if it is no 5xx and its first byte, which is its first token, came within this time.')
@minValue(1)
param firstByteSeconds int = 20

@description('Share of good requests that is promised.')
param objective '0.99' | '0.995' | '0.999' = '0.99'

@description('Profiles are merged every five seconds; older than this, a region knows little of the others.')
@minValue(60)
param oldestProfilesSeconds int = 300

// Those that run every minute or more often. What an hourly purge misses, the next one drops.
var timers = ['refresh_profiles', 'probe']

// Burn rate: the share of bad requests over the share that the objective allows. A long and a short window must both
// burn, so that the alert comes soon, is not set off by one blip, and ends soon after the fault (Google, The Site
// Reliability Workbook, chapter 5): 14.4 for an hour spends 2 % of a month's allowance, 6 for six hours 5 %.
var burns = [
  { name: 'slo-burn-fast', severity: 1, rate: '14.4', recent: '5m', window: 'PT1H', every: 'PT5M' }
  { name: 'slo-burn-slow', severity: 2, rate: '6.0', recent: '30m', window: 'PT6H', every: 'PT15M' }
]
var burnQuery = replace(
  replace(loadTextContent('../queries/slo-burn.kql'), 'OBJECTIVE', objective),
  'FIRST_BYTE_SECONDS',
  string(firstByteSeconds)
)
var timerQuery = replace(
  replace(loadTextContent('../queries/timer-not-run.kql'), 'APPS', 'dynamic(${string(appNames)})'),
  'TIMERS',
  'dynamic(${string(timers)})'
)

// Alerts that are a query of the logs: a row found is an alert.
var logAlerts = concat(
  map(burns, burn => {
    name: burn.name
    severity: burn.severity
    description: 'Callers get 5xx or late first tokens faster than the objective allows.'
    query: replace(replace(burnQuery, 'RATE', burn.rate), 'RECENT', burn.recent)
    window: burn.window
    every: burn.every
  }),
  [
    {
      name: 'timer-not-run'
      severity: 2
      description: 'A timer has not run in a region. Without refresh_profiles the latency profiles there grow old.'
      query: timerQuery
      window: 'PT15M'
      every: 'PT5M'
    }
    {
      name: 'profiles-old'
      severity: 2
      description: 'A region shares nothing with the others: requests are served from what it knew.'
      query: replace(loadTextContent('../queries/profiles-old.kql'), 'OLDEST_SECONDS', string(oldestProfilesSeconds))
      window: 'PT15M'
      every: 'PT5M'
    }
  ]
)

// Alerts that are a metric of Front Door.
var answersAlert = {
  name: 'answers-5xx'
  severity: 1
  description: 'More than 5 % of all answers are 5xx.'
  metric: 'Percentage5XX'
  operator: 'GreaterThan'
  threshold: 5
  dimensions: []
}
var regionAlert = {
  name: 'region-unhealthy'
  severity: 2
  description: 'A region fails Front Door\'s probes; callers already go elsewhere.'
  metric: 'OriginHealthPercentage'
  operator: 'LessThan'
  threshold: 50
  dimensions: [{ name: 'Origin', operator: 'Include', values: ['*'] }]
}
var metricAlerts = length(appNames) > 1 ? [answersAlert, regionAlert] : [answersAlert] // one region has no probes

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-latency-router'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'router'
    enabled: true
    emailReceivers: [
      for (address, i) in emails: { name: 'person-${i}', emailAddress: address, useCommonAlertSchema: true }
    ]
  }
}

resource fromLogs 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in logAlerts: {
    name: alert.name
    location: location
    tags: tags
    properties: {
      displayName: 'Latency router: ${alert.name}'
      description: '${alert.description} What to do: docs/operations.md'
      severity: alert.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: alert.every
      windowSize: alert.window
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      actions: { actionGroups: [people.id] }
    }
  }
]

resource fromMetrics 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alert in metricAlerts: {
    name: alert.name
    location: 'global'
    tags: tags
    properties: {
      description: '${alert.description} What to do: docs/operations.md'
      severity: alert.severity
      enabled: true
      scopes: [frontDoorProfileId]
      evaluationFrequency: 'PT1M'
      windowSize: 'PT5M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: 'Microsoft.Cdn/profiles'
            metricName: alert.metric
            operator: alert.operator
            threshold: alert.threshold
            timeAggregation: 'Average'
            dimensions: alert.dimensions
          }
        ]
      }
      autoMitigate: true
      actions: [{ actionGroupId: people.id }]
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'latency-router')
  location: location
  kind: 'shared'
  tags: tags
  properties: {
    displayName: 'Latency router'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('../workbook.json')
  }
}
