package broker

import (
	"barnabas/broker/quota"
	"barnabas/broker/zookeeper"
)

// QuotaEntities reads the client quotas that are kept in ZooKeeper, waiting for a session while there is none.
func (b *Broker) QuotaEntities() (all map[quota.Entity]map[string]string, err error) {
	err = b.withStore(func(s *zookeeper.Store) error {
		all, err = quotasOf(s)
		return err
	})
	return all, err
}

func quotasOf(s *zookeeper.Store) (map[quota.Entity]map[string]string, error) {
	entries, err := s.Quotas()
	all := map[quota.Entity]map[string]string{}
	for _, e := range entries {
		all[quota.Entity{User: e.User, ClientID: e.ClientID}] = e.Configs
	}
	return all, err
}

// obeyQuotas takes all client quotas as they are kept now: they are few, and change seldom.
func (b *Broker) obeyQuotas(store *zookeeper.Store) error {
	all, err := quotasOf(store)
	if err == nil {
		b.quotas.Replace(all)
	}
	return err
}
