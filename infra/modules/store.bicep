// What all regions share: measurements, profiles, users' homes, operators' orders. One account for the deployment, used
// for tables only. Beside the path of every request: a region that cannot reach it serves from what it knows.

param name string
param location string

@description('How many copies, and where: see main.bicep.')
param sku 'Standard_LRS' | 'Standard_ZRS' | 'Standard_RAGRS' | 'Standard_RAGZRS'

param isPrivate bool
param workspaceId string
param tags object

resource store 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  name: name
  location: location
  kind: 'StorageV2'
  sku: { name: sku }
  tags: tags
  properties: {
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    isLocalUserEnabled: false
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: { defaultAction: isPrivate ? 'Deny' : 'Allow', bypass: 'None' }
  }
}

// The tables in it are the app's to make: it drops one a day.
resource tables 'Microsoft.Storage/storageAccounts/tableServices@2025-08-01' = {
  parent: store
  name: 'default'
}

// Reads and writes are some 90 a minute and instance: only deletions are logged.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: tables
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'StorageDelete', enabled: true }]
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

output id string = store.id
output name string = store.name
output tableEndpoint string = store.properties.primaryEndpoints.table
