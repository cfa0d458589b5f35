// The way of an order, the same for every generated client: each fills in `Client` with calls of its own.

export interface Product {
  id: string;
  price: string;
  allergens: string[];
  sizes: { volume_ml: number | null }[];
}

export interface Order {
  id: string;
  number: string;
  status: string;
}

export interface Client {
  register(email: string, password: string): Promise<string>;
  verify(email: string, code: string, registrationId: string): Promise<boolean>;
  logIn(email: string, password: string): Promise<{ access: string; refresh: string }>;
  products(filter: { priceFrom: string; without: "milk"; volumeFrom: number }): Promise<Product[]>;
  openShop(): Promise<string>;
  addToCart(access: string, productId: string): Promise<string>;
  order(access: string, shopId: string, expectedTotal: string): Promise<Order>;
  accept(access: string, orderId: string): Promise<string>;
  orders(access: string, statuses: ("accepted" | "ready" | "cancelled")[]): Promise<Order[]>;
  refresh(token: string): Promise<{ access: string; refresh: string }>;
  logOut(access: string): Promise<void>;
  isLoggedIn(access: string): Promise<boolean>;
}

export const URL_OF_SERVER: string = setting("CREMA_URL");

function setting(name: string): string {
  const value = (globalThis as unknown as { process: { env: Record<string, string | undefined> } }).process.env[name];
  if (value === undefined) throw new Error(`${name} is missing`);
  return value;
}

function check(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what);
}

/** Return what an answer holds; throw what was answered instead. */
export function good<T>(data: T | undefined, error: unknown): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

async function codeFor(email: string): Promise<string> {
  const mailbox = await (await fetch(`${URL_OF_SERVER}/mailbox`)).text();
  const code = /\b\d{6}\b/.exec(mailbox.slice(mailbox.indexOf(email) + email.length).replace(/#[0-9a-f]{6}/gi, ""));
  if (code === null) throw new Error(`no code for ${email}`);
  return code[0];
}

export async function walk(client: Client, name: string): Promise<void> {
  const email = `${name}@example.com`;
  const password = "oat milk please";
  const registrationId = await client.register(email, password);
  check(await client.verify(email, await codeFor(email), registrationId), "verified");
  const login = await client.logIn(email, password);

  const products = await client.products({ priceFrom: "100", without: "milk", volumeFrom: 300 });
  check(products.length > 1, "products");
  check(products.every((product) => Number(product.price) >= 100), "price__gte");
  check(products.every((product) => !product.allergens.includes("milk")), "allergens__ne");
  check(products.every((product) => product.sizes.some((size) => (size.volume_ml ?? 0) >= 300)), "sizes.volume_ml__gte");
  const prices = products.map((product) => Number(product.price));
  check(prices.every((price, place) => place === 0 || price <= (prices[place - 1] ?? 0)), "sort");

  const total = await client.addToCart(login.access, good(products[0], "a product").id);
  const order = await client.order(login.access, await client.openShop(), total);
  const staff = await client.logIn(setting("CREMA_STAFF"), setting("CREMA_STAFF_PASSWORD"));
  check((await client.accept(staff.access, order.id)) === "accepted", "accepted");

  const open = await client.orders(login.access, ["accepted", "ready"]);
  check(open.length === 1 && open[0]?.id === order.id, "status__in");
  check((await client.orders(login.access, ["cancelled"])).length === 0, "status__in of nothing");

  const next = await client.refresh(login.refresh);
  check(await client.isLoggedIn(next.access), "refreshed");
  await client.logOut(next.access);
  check(!(await client.isLoggedIn(next.access)), "logged out");
}
