// Where every log and metric of the deployment ends: one workspace, so that one query sees all regions. If its region
// fails, requests are still served and their telemetry is lost.

param name string
param location string
param tags object

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 30 // included in the price of ingestion up to 31 days
    features: {
      disableLocalAuth: true // no workspace keys: senders use Entra ID
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

output workspaceId string = workspace.id
