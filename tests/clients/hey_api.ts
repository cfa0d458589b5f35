import * as api from "./generated/hey_api";
import { client } from "./generated/hey_api/client.gen";
import { good, URL_OF_SERVER, walk } from "./journey";

client.setConfig({ baseUrl: URL_OF_SERVER });
const bearer = (access: string): { Authorization: string } => ({ Authorization: `Bearer ${access}` });

await walk(
  {
    register: async (email, password) => {
      const { data, error } = await api.register({ body: { email, password } });
      return good(data, error).registration_id;
    },
    verify: async (email, code, registration_id) => {
      const { data, error } = await api.verify({ body: { email, code, registration_id } });
      return good(data, error).is_verified;
    },
    logIn: async (email, password) => {
      const { data, error } = await api.authenticate({ body: { email, password } });
      const tokens = good(data, error);
      return { access: tokens.access_token, refresh: tokens.refresh_token };
    },
    products: async ({ priceFrom, without, volumeFrom }) => {
      const { data, error } = await api.listProducts({
        query: { filter: { price__gte: priceFrom, allergens__ne: without, "sizes.volume_ml__gte": volumeFrom }, sort: ["-price", "name"] },
      });
      return good(data, error).items;
    },
    openShop: async () => {
      const { data, error } = await api.listShops({ query: { open_now: true } });
      return good(good(data, error).items[0], "a shop").id;
    },
    addToCart: async (access, product_id) => {
      const { data, error } = await api.addToCart({ body: { product_id }, headers: bearer(access) });
      return good(data, error).total;
    },
    order: async (access, shop_id, expected_total) => {
      const { data, error } = await api.placeOrder({ body: { shop_id, expected_total }, headers: bearer(access) });
      return good(data, error);
    },
    accept: async (access, order_id) => {
      const { data, error } = await api.changeOrder({
        path: { order_id },
        body: { status: "accepted" },
        headers: bearer(access),
      });
      return good(data, error).status;
    },
    orders: async (access, statuses) => {
      const { data, error } = await api.listOrders({
        query: { status__in: statuses, sort: ["-created_at"] },
        headers: bearer(access),
      });
      return good(data, error).items;
    },
    refresh: async (refresh_token) => {
      const { data, error } = await api.refresh({ body: { refresh_token } });
      const tokens = good(data, error);
      return { access: tokens.access_token, refresh: tokens.refresh_token };
    },
    logOut: async (access) => {
      const { response } = await api.logOut({ headers: bearer(access) });
      good(response?.ok || undefined, response?.status);
    },
    isLoggedIn: async (access) => (await api.seeMe({ headers: bearer(access) })).response?.ok === true,
  },
  "hey-api",
);
