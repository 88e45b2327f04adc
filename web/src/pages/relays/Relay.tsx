export { RelayPage as default } from './Relays';
