import createClient from "openapi-fetch";
import type { paths } from "./generated/openapi_typescript";
import { good, URL_OF_SERVER, walk } from "./journey";

const api = createClient<paths>({ baseUrl: URL_OF_SERVER });
const bearer = (access: string): { Authorization: string } => ({ Authorization: `Bearer ${access}` });

await walk(
  {
    register: async (email, password) => {
      const { data, error } = await api.POST("/registration", { body: { email, password } });
      return good(data, error).registration_id;
    },
    verify: async (email, code, registration_id) => {
      const { data, error } = await api.POST("/verification", { body: { email, code, registration_id } });
      return good(data, error).is_verified;
    },
    logIn: async (email, password) => {
      const { data, error } = await api.POST("/authentication", { body: { email, password } });
      const tokens = good(data, error);
      return { access: tokens.access_token, refresh: tokens.refresh_token };
    },
    products: async ({ priceFrom, without, volumeFrom }) => {
      const { data, error } = await api.GET("/products", {
        params: { query: { filter: { price__gte: priceFrom, allergens__ne: without, "sizes.volume_ml__gte": volumeFrom }, sort: ["-price", "name"] } },
      });
      return good(data, error).items;
    },
    openShop: async () => {
      const { data, error } = await api.GET("/shops", { params: { query: { open_now: true } } });
      return good(good(data, error).items[0], "a shop").id;
    },
    addToCart: async (access, product_id) => {
      const { data, error } = await api.POST("/cart", { body: { product_id }, headers: bearer(access) });
      return good(data, error).total;
    },
    order: async (access, shop_id, expected_total) => {
      const { data, error } = await api.POST("/order", { body: { shop_id, expected_total }, headers: bearer(access) });
      return good(data, error);
    },
    accept: async (access, order_id) => {
      const { data, error } = await api.PATCH("/order/{order_id}", {
        params: { path: { order_id } },
        body: { status: "accepted" },
        headers: bearer(access),
      });
      return good(data, error).status;
    },
    orders: async (access, statuses) => {
      const { data, error } = await api.GET("/orders", {
        params: { query: { status__in: statuses, sort: ["-created_at"] } },
        headers: bearer(access),
      });
      return good(data, error).items;
    },
    refresh: async (refresh_token) => {
      const { data, error } = await api.POST("/refresh", { body: { refresh_token } });
      const tokens = good(data, error);
      return { access: tokens.access_token, refresh: tokens.refresh_token };
    },
    logOut: async (access) => {
      const { response } = await api.POST("/logout", { headers: bearer(access) });
      good(response.ok || undefined, response.status);
    },
    isLoggedIn: async (access) => (await api.GET("/me", { headers: bearer(access) })).response.ok,
  },
  "openapi-fetch",
);
