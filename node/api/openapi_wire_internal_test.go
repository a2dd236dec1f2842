package api

import (
	"encoding/json"
	"reflect"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node"
)

// spoken says which types an endpoint speaks. An answer is one value, or a stream of
// lines if item, progress or result is set.
type spoken struct {
	body, answer           reflect.Type
	item, progress, result reflect.Type
	also                   reflect.Type // another kind of item
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func value[T any]() spoken       { return spoken{answer: typeOf[T]()} }
func valueFor[B, T any]() spoken { return spoken{body: typeOf[B](), answer: typeOf[T]()} }
func itemsOf[T any]() spoken     { return spoken{item: typeOf[T](), result: typeOf[count]()} }
func workFor[B, P, R any]() spoken {
	return spoken{body: typeOf[B](), progress: typeOf[P](), result: typeOf[R]()}
}
func workWith[P, R any]() spoken  { return spoken{progress: typeOf[P](), result: typeOf[R]()} }
func resultFor[B, R any]() spoken { return spoken{body: typeOf[B](), result: typeOf[R]()} }
func resultOf[R any]() spoken     { return spoken{result: typeOf[R]()} }
func transformed() spoken         { return valueFor[transformRequest, node.Change]() }

// count, transformRequest, stoneRequest, ibGib and empty have no type of their own in
// the API, which writes and reads them as text.
type (
	count struct {
		Count int `json:"count"`
	}
	transformRequest struct {
		Addr    ibgib.Addr  `json:"addr,omitzero"`
		Options ibgib.Value `json:"options"`
	}
	stoneRequest struct {
		Ib     string      `json:"ib"`
		Parent string      `json:"parent"`
		Data   ibgib.Value `json:"data,omitzero"`
		UUID   bool        `json:"uuid,omitempty"`
	}
	ibGib struct {
		Ib     string                  `json:"ib"`
		Gib    string                  `json:"gib,omitempty"`
		Data   json.RawMessage         `json:"data,omitempty"`
		Rel8ns map[string][]ibgib.Addr `json:"rel8ns,omitempty"`
	}
	empty struct{}
)

// wire says what each endpoint speaks. Those with text of other kinds are empty.
var wire = map[string]spoken{
	"GET /openapi.yaml": {},
	"GET /version":      value[Version](),
	"GET /id":           value[node.Identity](),

	"GET /keystones":        itemsOf[node.Keystone](),
	"GET /keystone":         value[node.Keystone](),
	"GET /keystone/verify":  value[keystone.Report](),
	"GET /keystone/frames":  itemsOf[ibGib](),
	"POST /keystone/sign":   valueFor[signRequest, node.KeystoneFrame](),
	"POST /keystone/revoke": valueFor[reasonRequest, node.KeystoneFrame](),
	"POST /keystone/rotate": valueFor[reasonRequest, node.KeystoneRotation](),
	"POST /keystone/new":    valueFor[newKeystoneRequest, node.KeystoneRotation](),
	"POST /keystone/import": resultOf[node.Keystone](),
	"POST /keystone/settle": valueFor[settleRequest, node.Keystone](),

	"GET /peers":          value[[]node.Peer](),
	"POST /trust":         valueFor[peerRequest, node.Peer](),
	"POST /untrust":       valueFor[peerRequest, empty](),
	"POST /introductions": valueFor[introductionsRequest, node.Peer](),
	"GET /trust/log":      value[[]node.TrustChange](),
	"POST /invite":        value[node.Invite](),
	"POST /invite/accept": valueFor[acceptRequest, node.Peer](),

	"POST /timelines/create": transformed(),
	"POST /timelines/mut8":   transformed(),
	"POST /timelines/rel8":   transformed(),
	"POST /timelines/fork":   transformed(),
	"GET /timelines/log":     {item: typeOf[node.Frame](), also: typeOf[node.HistoryFrame](), result: typeOf[count]()},
	"GET /timelines/frame":   value[node.Frame](),
	"GET /timelines/heads":   itemsOf[node.Timeline](),
	"GET /timelines/latest":  value[node.Timeline](),

	"GET /ibgibs":          itemsOf[ibgib.Addr](),
	"GET /ibgibs/get":      value[ibGib](),
	"GET /ibgibs/expand":   value[ibgib.Addr](),
	"GET /keystone/expand": value[ibgib.Addr](),
	"POST /ibgibs/put":     valueFor[ibGib, node.PutResult](),
	"POST /ibgibs/stone":   valueFor[stoneRequest, node.PutResult](),
	"GET /ibgibs/diff":     value[node.DiffResult](),
	"GET /ibgibs/graph":    value[node.Graph](),
	"POST /import":         workWith[node.ImportProgress, node.ImportResult](),
	"POST /export":         resultFor[exportRequest, node.ExportResult](),
	"POST /verify":         workWith[node.VerifyProgress, node.VerifyReport](),

	"POST /gc":     workFor[gcRequest, node.UpkeepProgress, blockstore.GCReport](),
	"POST /backup": workWith[node.UpkeepProgress, blockstore.BackupReport](),
	"POST /repair": workFor[repairRequest, node.UpkeepProgress, node.RepairReport](),
	"GET /stats":   value[node.Stats](),
	"GET /status":  value[node.Status](),
	"GET /doctor":  value[node.Diagnosis](),
	"GET /metrics": {},
	"GET /why":     value[node.Why](),
	"GET /wants":   value[[]node.Wanted](),

	"GET /find":       value[[]node.Provider](),
	"GET /provide":    value[[]node.Announcement](),
	"POST /provide":   valueFor[provideRequest, node.Announcement](),
	"POST /unprovide": valueFor[provideRequest, node.Announcement](),
	"POST /fetch":     workFor[fetchRequest, node.FetchProgress, node.FetchResult](),
	"GET /follow":     value[[]node.Follow](),
	"POST /follow":    valueFor[followRequest, node.FollowResult](),
	"POST /unfollow":  valueFor[followRequest, node.Follow](),
	"POST /ping":      valueFor[peerRequest, node.PingResult](),

	"GET /shares":                 value[node.ShareList](),
	"GET /shares/timelines":       value[[]node.Timeline](),
	"GET /shares/out":             value[[]node.OutTimeline](),
	"POST /shares/create":         valueFor[node.ShareOptions, node.Share](),
	"POST /shares/set":            valueFor[shareSetting, node.Share](),
	"POST /shares/delete":         valueFor[shareRequest, empty](),
	"POST /shares/members/add":    valueFor[shareRequest, node.Share](),
	"POST /shares/members/remove": valueFor[shareRequest, node.Share](),
	"POST /shares/add":            valueFor[shareRequest, node.ShareChange](),
	"POST /shares/remove":         valueFor[shareRequest, node.ShareChange](),
	"GET /forget":                 value[[]node.ForgottenTimeline](),
	"POST /forget":                valueFor[forgetRequest, node.ForgottenTimeline](),
	"POST /remember":              valueFor[forgetRequest, empty](),

	"GET /events": value[node.Event](),

	"GET /sagas":        value[[]node.SagaRecord](),
	"GET /sagas/show":   value[node.SagaRecord](),
	"GET /sagas/verify": value[node.SagaVerification](),

	"POST /sync":              workFor[syncRequest, node.SyncProgress, node.SyncResult](),
	"GET /conflicts":          itemsOf[node.Conflict](),
	"GET /conflicts/show":     value[node.ConflictDetail](),
	"POST /conflicts/resolve": valueFor[resolveRequest, node.Resolved](),
	"POST /conflicts/pin":     valueFor[pinRequest, node.Conflict](),
	"POST /conflicts/unpin":   valueFor[pinRequest, node.Conflict](),
}
