package api

import "net/http"

// endpoints are all that the API serves below its prefix, by method and path.
// openapi.yaml describes each of them.
func (h *handler) endpoints() map[string]func(*reply, *http.Request) {
	return map[string]func(*reply, *http.Request){
		"GET /openapi.yaml": h.getOpenAPI,
		"GET /version":      h.getVersion,
		"GET /id":           h.getID,

		"GET /keystones":        h.getKeystones,
		"GET /keystone":         h.getKeystone,
		"GET /keystone/expand":  h.getKeystoneExpand,
		"GET /keystone/verify":  h.getKeystoneVerify,
		"GET /keystone/frames":  h.getKeystoneFrames,
		"POST /keystone/sign":   h.postKeystoneSign,
		"POST /keystone/revoke": h.postKeystoneRevoke,
		"POST /keystone/rotate": h.postKeystoneRotate,
		"POST /keystone/new":    h.postKeystoneNew,
		"POST /keystone/import": h.postKeystoneImport,
		"POST /keystone/settle": h.postKeystoneSettle,

		"GET /peers":          h.getPeers,
		"POST /trust":         h.postTrust,
		"POST /untrust":       h.postUntrust,
		"POST /introductions": h.postIntroductions,
		"GET /trust/log":      h.getTrustLog,
		"POST /invite":        h.postInvite,
		"POST /invite/accept": h.postAccept,

		"POST /timelines/create": h.postCreate,
		"POST /timelines/mut8":   h.postMut8,
		"POST /timelines/rel8":   h.postRel8,
		"POST /timelines/fork":   h.postFork,
		"GET /timelines/log":     h.getLog,
		"GET /timelines/frame":   h.getFrame,
		"GET /timelines/heads":   h.getHeads,
		"GET /timelines/latest":  h.getLatest,

		"GET /ibgibs":        h.getIbGibs,
		"GET /ibgibs/get":    h.getIbGib,
		"GET /ibgibs/expand": h.getExpand,
		"POST /ibgibs/put":   h.postPut,
		"POST /ibgibs/stone": h.postStone,
		"GET /ibgibs/diff":   h.getDiff,
		"GET /ibgibs/graph":  h.getGraph,
		"POST /import":       h.postImport,
		"POST /export":       h.postExport,
		"POST /verify":       h.postVerify,

		"POST /gc":     h.postGC,
		"POST /backup": h.postBackup,
		"POST /repair": h.postRepair,
		"GET /stats":   h.getStats,
		"GET /status":  h.getStatus,
		"GET /doctor":  h.getDoctor,
		"GET /metrics": h.getMetrics,
		"GET /why":     h.getWhy,
		"GET /wants":   h.getWants,

		"GET /find":       h.getFind,
		"GET /provide":    h.getProvide,
		"POST /provide":   h.postProvide,
		"POST /unprovide": h.postUnprovide,
		"POST /fetch":     h.postFetch,
		"GET /follow":     h.getFollow,
		"POST /follow":    h.postFollow,
		"POST /unfollow":  h.postUnfollow,
		"POST /ping":      h.postPing,

		"GET /shares":                 h.getShares,
		"GET /shares/timelines":       h.getShareTimelines,
		"GET /shares/out":             h.getShareOut,
		"POST /shares/create":         h.postShareCreate,
		"POST /shares/set":            h.postShareSet,
		"POST /shares/delete":         h.postShareDelete,
		"POST /shares/members/add":    h.postMemberAdd,
		"POST /shares/members/remove": h.postMemberRemove,
		"POST /shares/add":            h.postShareAdd,
		"POST /shares/remove":         h.postShareRemove,
		"GET /forget":                 h.getForgotten,
		"POST /forget":                h.postForget,
		"POST /remember":              h.postRemember,

		"GET /events": h.getEvents,

		"GET /sagas":        h.getSagas,
		"GET /sagas/show":   h.getSaga,
		"GET /sagas/verify": h.getSagaVerify,

		"POST /sync":              h.postSync,
		"GET /conflicts":          h.getConflicts,
		"GET /conflicts/show":     h.getConflict,
		"POST /conflicts/resolve": h.postResolve,
		"POST /conflicts/pin":     h.postPin,
		"POST /conflicts/unpin":   h.postUnpin,
	}
}
