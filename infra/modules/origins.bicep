// Front Door's way to the apps: one group of all regions for callers, and one of each region alone for tests.

param profileName string
param endpointName string
param apps App[]

@description('Milliseconds by which a region may be slower than the fastest and still share its traffic. 0: none may.')
@minValue(0)
param latencySensitivityMs int = 0

type App = {
  region: string
  hostName: string
  @description('False: it keeps its own address, and callers go to other regions.')
  receivesTraffic: bool
}

resource profile 'Microsoft.Cdn/profiles@2025-12-01' existing = {
  name: profileName
}

resource endpoint 'Microsoft.Cdn/profiles/afdEndpoints@2025-12-01' existing = {
  parent: profile
  name: endpointName
}

// Every point of presence probes by itself, each probe is an execution that is paid for: HEAD, a minute apart, and
// none where there is nothing to choose from.
var probe = { probePath: '/healthz', probeRequestType: 'HEAD', probeProtocol: 'Https', probeIntervalInSeconds: 60 }
var balancing = {
  sampleSize: 4
  successfulSamplesRequired: 3
  additionalLatencyInMilliseconds: latencySensitivityMs
}

resource everywhere 'Microsoft.Cdn/profiles/originGroups@2025-12-01' = {
  parent: profile
  name: 'everywhere'
  properties: {
    loadBalancingSettings: balancing
    healthProbeSettings: length(apps) > 1 ? probe : null
    sessionAffinityState: 'Disabled' // affinity is the router's, by user, not Front Door's, by cookie
  }
}

resource candidates 'Microsoft.Cdn/profiles/originGroups/origins@2025-12-01' = [
  for app in apps: {
    parent: everywhere
    name: app.region
    properties: {
      hostName: app.hostName
      originHostHeader: app.hostName // App Service finds the app by this name
      httpsPort: 443
      priority: 1
      weight: 1000
      enabledState: app.receivesTraffic ? 'Enabled' : 'Disabled'
      enforceCertificateNameCheck: true
    }
  }
]

resource alone 'Microsoft.Cdn/profiles/originGroups@2025-12-01' = [
  for app in apps: {
    parent: profile
    name: 'only-${app.region}'
    properties: {
      loadBalancingSettings: balancing
      sessionAffinityState: 'Disabled'
    }
  }
]

resource onlyCandidate 'Microsoft.Cdn/profiles/originGroups/origins@2025-12-01' = [
  for (app, i) in apps: {
    parent: alone[i]
    name: app.region
    properties: {
      hostName: app.hostName
      originHostHeader: app.hostName
      httpsPort: 443
      priority: 1
      weight: 1000
      enabledState: 'Enabled'
      enforceCertificateNameCheck: true
    }
  }
]

// The caller's country, in a header that a caller cannot forge: Overwrite.
resource headers 'Microsoft.Cdn/profiles/ruleSets@2025-12-01' = {
  parent: profile
  name: 'headers'

  resource geo 'rules' = {
    name: 'geo'
    properties: {
      order: 1
      conditions: []
      actions: [
        {
          name: 'ModifyRequestHeader'
          parameters: {
            typeName: 'DeliveryRuleHeaderActionParameters'
            headerAction: 'Overwrite'
            headerName: 'x-router-geo'
            value: '{geo_country}'
          }
        }
      ]
    }
  }
}

// No cacheConfiguration: without it Front Door neither stores nor compresses, and so passes a stream on as it comes.
// HTTPS only, no redirect: a key sent over HTTP is lost before a redirect could help.
resource route 'Microsoft.Cdn/profiles/afdEndpoints/routes@2025-12-01' = {
  parent: endpoint
  name: 'everywhere'
  dependsOn: [candidates] // a route needs an origin that exists
  properties: {
    originGroup: { id: everywhere.id }
    patternsToMatch: ['/*']
    supportedProtocols: ['Https']
    httpsRedirect: 'Disabled'
    forwardingProtocol: 'HttpsOnly'
    linkToDefaultDomain: 'Enabled'
    ruleSets: [{ id: headers.id }]
    enabledState: 'Enabled'
  }
}

// /regions/NAME/anything reaches /anything of this region: for the smoke test, and to look at one region by itself.
resource regionRoutes 'Microsoft.Cdn/profiles/afdEndpoints/routes@2025-12-01' = [
  for (app, i) in apps: {
    parent: endpoint
    name: 'only-${app.region}'
    dependsOn: [onlyCandidate]
    properties: {
      originGroup: { id: alone[i].id }
      originPath: '/'
      patternsToMatch: ['/regions/${app.region}/*']
      supportedProtocols: ['Https']
      httpsRedirect: 'Disabled'
      forwardingProtocol: 'HttpsOnly'
      linkToDefaultDomain: 'Enabled'
      ruleSets: [{ id: headers.id }]
      enabledState: 'Enabled'
    }
  }
]
