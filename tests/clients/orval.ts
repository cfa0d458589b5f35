import * as api from "./generated/orval";
import * as schemas from "./generated/orval_zod";
import { good, URL_OF_SERVER, walk } from "./journey";

// Orval's functions ask by path; where the server is stands in its user's configuration.
const ask = globalThis.fetch;
globalThis.fetch = (path, options) => ask(new URL(String(path), URL_OF_SERVER), options);
const bearer = (access: string): RequestInit => ({ headers: { Authorization: `Bearer ${access}` } });

await walk(
  {
    register: async (email, password) => {
      const answer = await api.register({ email, password });
      return answer.status === 201 ? answer.data.registration_id : good<never>(undefined, answer.data);
    },
    verify: async (email, code, registration_id) => {
      const answer = await api.verify({ email, code, registration_id });
      return answer.status === 200 ? answer.data.is_verified : good<never>(undefined, answer.data);
    },
    logIn: async (email, password) => {
      const answer = await api.authenticate({ email, password });
      if (answer.status !== 200) return good<never>(undefined, answer.data);
      return { access: answer.data.access_token, refresh: answer.data.refresh_token };
    },
    products: async ({ priceFrom, without, volumeFrom }) => {
      const query = schemas.ListProductsQueryParams.parse({
        filter: { price__gte: priceFrom, allergens__ne: without, "sizes.volume_ml__gte": volumeFrom },
        sort: ["-price", "name"],
      });
      good(query.filter?.price__gte, "checked");
      const answer = await api.listProducts({
        filter: { price__gte: priceFrom, allergens__ne: without, "sizes.volume_ml__gte": volumeFrom },
        sort: ["-price", "name"],
      });
      return schemas.ListProductsResponse.parse(answer.data).items;
    },
    openShop: async () => {
      const answer = await api.listShops({ open_now: true });
      return good(schemas.ListShopsResponse.parse(answer.data).items[0], "a shop").id;
    },
    addToCart: async (access, product_id) => {
      const body = schemas.AddToCartBody.parse({ product_id });
      const answer = await api.addToCart({ product_id: body.product_id }, bearer(access));
      return schemas.AddToCartResponse.parse(answer.data).total;
    },
    order: async (access, shop_id, expected_total) => {
      const answer = await api.placeOrder({ shop_id, expected_total }, bearer(access));
      return schemas.PlaceOrderResponse.parse(answer.data);
    },
    accept: async (access, orderId) => {
      const answer = await api.changeOrder(orderId, { status: "accepted" }, bearer(access));
      return schemas.ChangeOrderResponse.parse(answer.data).status;
    },
    orders: async (access, statuses) => {
      const answer = await api.listOrders({ status__in: statuses, sort: ["-created_at"] }, bearer(access));
      return schemas.ListOrdersResponse.parse(answer.data).items;
    },
    refresh: async (refresh_token) => {
      const answer = await api.refresh({ refresh_token });
      if (answer.status !== 200) return good<never>(undefined, answer.data);
      return { access: answer.data.access_token, refresh: answer.data.refresh_token };
    },
    logOut: async (access) => {
      const answer = await api.logOut(undefined, bearer(access));
      good(answer.status === 204 || undefined, answer);
    },
    isLoggedIn: async (access) => (await api.seeMe(bearer(access))).status === 200,
  },
  "orval",
);
